"""What the demo needs beside its layout: questions, pictures, words and looks."""
