"""The page: a photo in, what a network saw in it out, at every layer. It reads artifacts and loads no compiler."""
