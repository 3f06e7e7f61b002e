"""Where models come from: sources on the hub or on disk, strict loading, and errors as one sentence."""
