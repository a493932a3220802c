"""A file behind HTTP: questions of many people, joined into passes that they share."""
