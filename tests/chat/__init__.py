"""The promises of a turn under every fault: nothing is lost, and nothing is done twice."""
