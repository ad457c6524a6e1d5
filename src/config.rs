//! Every setting of the process, its variable, its default. Nothing else reads the environment.
