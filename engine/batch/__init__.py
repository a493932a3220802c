"""From one photo to a data set: sources of photos, rows of answers, and a store that loses none."""
