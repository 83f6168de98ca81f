"""Looking after a data folder: is it sound, what is in it, and setting right what is not."""
