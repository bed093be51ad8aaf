"""Files of messages: as the model is told them, and as it makes them."""
