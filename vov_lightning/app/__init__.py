"""The app for the browser: `work` is what it does, without a browser; `page` shows it with Gradio."""
