"""What is done with maps after a detector gave them, the same for every detector. No torch here."""
