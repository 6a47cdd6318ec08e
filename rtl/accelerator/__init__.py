"""Controller, DMA and the whole accelerator."""
