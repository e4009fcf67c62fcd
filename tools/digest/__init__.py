"""What tools/digests.py runs in each of the trees that it compares."""
