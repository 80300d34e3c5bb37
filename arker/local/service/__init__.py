"""What requests mean: who may do what, and what it does. No HTTP and no SQL."""
