"""One module a page: a router whose path begins with /ui."""
