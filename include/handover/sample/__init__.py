"""A generated microloan company: realistic in shape and difficulty, untrue in every value."""
