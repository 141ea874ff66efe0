"""The steps, each a file. A step is never changed once it has been published."""
