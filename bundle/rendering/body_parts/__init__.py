"""Parts of the procedural body, in the order in which they are drawn."""
