"""What is seen: pages, fragments, actions, the JSON API and the live stream."""
