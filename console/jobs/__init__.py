"""Jobs: work that takes longer than a request, in processes of its own."""
