"""What several test tiers share: frames, programs, back ends."""
