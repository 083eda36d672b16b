"""How a space is searched: relaxation, mixed edges, the alternating train step, derivation. TensorFlow only."""
