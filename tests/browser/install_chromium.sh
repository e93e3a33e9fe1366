# Makes sure that the browser tests find a Chromium; with none to be had, fails unless BROWSER=optional.
here=$(dirname "$0")
if [ -n "$(sh "$here/find_chromium.sh")" ]; then exit 0; fi
echo "installing Chromium for the browser tests"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -q -y chromium fonts-dejavu-core >/dev/null
fi
if [ -z "$(sh "$here/find_chromium.sh")" ]; then "$1/playwright" install chromium || true; fi
if [ -n "$(sh "$here/find_chromium.sh")" ] || [ "$BROWSER" = optional ]; then exit 0; fi
echo "no Chromium: install one and name it in CHROMIUM=…, or leave its tests out with BROWSER=optional make test"
exit 1
