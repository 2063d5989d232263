"""The pages: what they are drawn with; each page is a module of ``views``."""
