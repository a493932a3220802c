"""One rule per op, and the policies that change them."""
