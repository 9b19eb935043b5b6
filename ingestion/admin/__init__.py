"""What staff see of ingestion. Looking and acting are separate permissions."""

from ingestion.admin import dead_letters, progress

__all__ = ["dead_letters", "progress"]
