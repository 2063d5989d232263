"""Points of metrics judged in their order, with an online state that the Step carries."""
