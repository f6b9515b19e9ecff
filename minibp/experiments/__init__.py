"""Many runs: folders, locks, records. It knows training, and no paper."""
