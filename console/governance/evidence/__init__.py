"""Evidence that people attach: kept, listed, deleted, and made from what the roles print."""
