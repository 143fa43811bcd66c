"""What the policy decides: pure functions from a spec and facts to actions."""
