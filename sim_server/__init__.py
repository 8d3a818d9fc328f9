"""The sim server: it owns physics, steps every copy of the world, and sends each agent its own block. No torch here."""
