"""Large images through a window: where its tiles lie, and how their scores and maps become the image's."""
