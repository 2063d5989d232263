"""The peers: each is ordinary good code for its library, started as a process of its own."""
