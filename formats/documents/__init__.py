"""Documents that users give: YAML, JSON and safetensors, parsed within limits, then checked as a whole."""
