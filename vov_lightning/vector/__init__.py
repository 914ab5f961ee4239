"""Vector to LoRA matrices (`hashing`, `adapter`) and to integer symbols (`quantizer`, `rate`)."""
