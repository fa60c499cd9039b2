"""One training loop, and the two verbs that use it: pretrain and finetune."""
