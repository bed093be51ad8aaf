"""What a turn promises, whatever happens: nothing lost, nothing twice."""
