"""What is computed: model shapes, real weights, the decoder forward pass, captured traces, perplexity."""
