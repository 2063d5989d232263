"""What people say and mend: labels, attributes, dead letters sent back."""
