"""What the API acknowledged and what is being sent."""
