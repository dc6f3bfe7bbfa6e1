"""The dialogue manager: what a message means in its conversation."""
