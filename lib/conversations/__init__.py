"""What is stored, read back, searched, changed, marked and exported."""
