"""What an index, a summary and a map of a code base say, composed from the facts that earlier steps have found."""
