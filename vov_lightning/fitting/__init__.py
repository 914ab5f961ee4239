"""Finding the vector of one signal with Lightning: draws, stages, module, run folder, tracking."""
