"""The page for who looks after the studio."""
