"""Finding the vector of one signal with Lightning: objectives, stages, module, run folder, tracking."""
