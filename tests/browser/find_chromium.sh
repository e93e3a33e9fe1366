# Prints the path of a Chromium: $CHROMIUM, one on the PATH, or the one that Playwright installed; else nothing.
if [ -n "$CHROMIUM" ] && [ -x "$CHROMIUM" ]; then
    echo "$CHROMIUM"
    exit 0
fi
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name"; then exit 0; fi
done
for path in "$HOME"/.cache/ms-playwright/chromium-*/chrome-linux*/chrome "$HOME"/.cache/ms-playwright/chromium*/chrome-*/headless_shell; do
    if [ -x "$path" ]; then
        echo "$path"
        exit 0
    fi
done
