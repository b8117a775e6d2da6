"""Uses the playground as people do, in Chromium: playground.py SERVICES

SERVICES is a JSON object of names and addresses: `plain`, whose settings name the origins of `keyed` and `other`; `keyed`, which
asks for a key and allows no origin; `other`, which asks for a key and allows that of `plain`; `staging`, which answers two labels
of three; `several` and `number`, whose models tell several labels and numbers. With SCREENSHOTS=FOLDER the pictures of the documentation are kept there.
"""

import base64
import http.client
import json
import os
import re
import shutil
import sys
import threading
import unittest
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

SERVICES = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
PICTURES = os.environ.get("SCREENSHOTS")
LONGEST_WAIT = 60
LARGEST_PICTURE = 150_000
# The default model is of two minds about it.
MIXED = "The lamp is gorgeous and the light is warm, but it arrived late and support never answered."
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Gateway(BaseHTTPRequestHandler):
    """Puts services under paths of its own, as a Gateway's route does that rewrites a prefix.

    /one/, /two/ and /staging/ are `plain`, `several` and `staging`. At /mute/ there are no explanations, and at /wide/ a text has forty labels.
    """

    protocol_version = "HTTP/1.1"
    TARGETS = {"one": "plain", "two": "several", "staging": "staging", "mute": "plain", "wide": "plain"}

    def forward(self):
        _, name, *rest = self.path.split("/", 2)
        path = "/" + "".join(rest)
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if name not in self.TARGETS or (name == "mute" and path.endswith("/explain")):
            return self.answer(404, {"content-type": "text/html"}, b"<h1>no such route</h1>")
        with closing(http.client.HTTPConnection(SERVICES[self.TARGETS[name]], timeout=LONGEST_WAIT)) as connection:
            connection.request(self.command, path, body, dict(self.headers))
            response = connection.getresponse()
            content = response.read()
        if name == "wide" and path.endswith("/predict"):
            answer = json.loads(content)
            answer["scores"] += [{"label": f"label {number}", "score": 0} for number in range(37)]
            content = json.dumps(answer).encode()
        return self.answer(response.status, dict(response.getheaders()), content)

    do_GET = do_POST = forward

    def answer(self, status, headers, content):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "date", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def program(name):
    found = shutil.which(name)
    assert found, f"there is no {name}: run `make browser`"
    return found


def start_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    # Containers have neither the sandbox' rights nor much shared memory.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu", "hide-scrollbars", "lang=en"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))


class Playground(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = start_browser()
        cls.addClassCleanup(cls.browser.quit)
        gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
        cls.addClassCleanup(gateway.server_close)
        cls.addClassCleanup(gateway.shutdown)
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        cls.gateway = f"127.0.0.1:{gateway.server_port}"
        cls.axe = (Path(find_spec("axe_playwright_python").origin).parent / "axe.min.js").read_text(encoding="utf-8")

    def setUp(self):
        self.complaints = []  # Patterns of what the console may say.
        self.hosts = set()  # Those that may be asked.
        self.requested = []
        self.emulate(1000, 800)
        self.prefer("light")

    def tearDown(self):
        self.requests()
        self.assertLessEqual({urlsplit(url).netloc for url in self.requested}, self.hosts, self.requested)
        console = [entry["message"] for entry in self.browser.get_log("browser")]
        unexpected = [said for said in console if not any(re.search(pattern, said) for pattern in self.complaints)]
        self.assertEqual(unexpected, [])
        for pattern in self.complaints:
            self.assertTrue(any(re.search(pattern, said) for said in console), f"{pattern} is not in {console}")

    # What a test says

    def open(self, service, path="/"):
        address = SERVICES.get(service, service)
        self.hosts.add(address)
        self.browser.get(f"http://{address}{path}")

    def requests(self):
        """Addresses that pages have asked since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        requested = [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        # What the page has in itself is asked of nobody.
        requested = [url for url in requested if not url.startswith("data:")]
        self.requested += requested
        return requested

    def find(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return [found.text for found in self.all(selector)]

    def content(self, selector):
        """The text as it is in the document, white space and what is hidden included."""
        return self.find(selector).get_property("textContent")

    def focused(self):
        return self.browser.switch_to.active_element

    def press(self, *keys):
        webdriver.ActionChains(self.browser).send_keys(*keys).perform()

    def fill(self, selector, text):
        """At once, since Chromium's driver types no emoji."""
        self.browser.execute_script("arguments[0].value = arguments[1]", self.find(selector), text)

    def ask(self, text, expect, many=False):
        if many:
            self.find("input[value=lines]").click()
        self.fill("#text", text)
        self.find("#form button").click()
        return self.told(expect)

    def told(self, expect):
        """What the page tells those who don't see it, once that is what is expected."""
        wait = WebDriverWait(self.browser, LONGEST_WAIT)
        try:
            wait.until(lambda _: re.search(expect, self.find("#status").text))
        except Exception as error:
            raise AssertionError(f"{expect!r} was not told, but {self.find('#status').text!r}") from error
        return self.find("#status").text

    def prefer(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def emulate(self, width, height, scale=1):
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def style(self, selector, name):
        script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
        return self.browser.execute_script(script, selector, name)

    def assert_accessible(self):
        self.browser.execute_script(self.axe)
        script = "axe.run(document, {runOnly: arguments[0]}).then(arguments[1], error => arguments[1](String(error)))"
        found = self.browser.execute_async_script(script, RULES)
        self.assertIsInstance(found, dict, found)
        self.assertGreater(len(found["passes"]), 10)
        faults = [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]]
        self.assertEqual(faults, [])

    def assert_fits(self):
        script = "const {scrollWidth, clientWidth} = document.documentElement; return [scrollWidth, clientWidth, innerWidth]"
        widths = self.browser.execute_script(script)
        self.assertEqual(len(set(widths)), 1, f"the page is wider than the screen: {widths}")

    def picture(self, name):
        """Of the whole page. Small enough for the documentation, and kept where that is wanted."""
        size = self.browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip})
        content = base64.b64decode(shot["data"])
        self.assertLess(len(content), LARGEST_PICTURE, name)
        if PICTURES:
            (Path(PICTURES) / f"playground-{name}.png").write_bytes(content)

    # One text

    def test_a_text_is_asked_by_the_keyboard_alone(self):
        self.open("plain")
        self.assertEqual(self.focused().get_attribute("id"), "text")
        self.press("I love this gadget.")  # Which no other test asks, so that no answer was kept.
        webdriver.ActionChains(self.browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
        told = self.told("^POSITIVE, .* %, in .* ms. Speaks most for POSITIVE: love")
        self.assertRegex(self.find(".verdict").text, r"^POSITIVE \d\d\.\d %$")
        self.assertIn(self.find(".verdict").text.split()[1], told)
        self.assertEqual(len(self.all(".scores tbody tr")), 3)
        self.assertEqual(self.texts(".scores .holds th"), ["POSITIVE"])
        self.assertRegex(self.find(".facts").text, r"^\d.* ms there and back · .* ms in the model · 19 characters$")
        self.assertRegex(self.find("h2").text, r"^This service\ndefault · sha256:[0-9a-f]{12}…$")
        # On to the button: each stop can be seen, and is named.
        for _ in range(10):
            self.press(Keys.TAB)
            focused = self.focused()
            outline = focused.value_of_css_property("outline-style")
            self.assertEqual(outline, "solid", focused.get_attribute("outerHTML"))
            self.assertTrue(focused.accessible_name, focused.get_attribute("outerHTML"))
            if focused.tag_name == "button":
                break
        self.assertEqual(focused.text, "Ask")
        self.press(Keys.ENTER)
        WebDriverWait(self.browser, LONGEST_WAIT).until(lambda _: "kept from an equal text before" in (self.texts(".facts") or [""])[0])

    def test_words_are_marked_by_more_than_their_colour(self):
        self.open("plain")
        text = "  " + MIXED.replace(", ", ",\n ") + "  "
        self.ask(text, "Speaks most for NEGATIVE: .*late")
        self.assertEqual(self.content(".words"), text.strip())
        marks = {word.text.strip("+−"): word for word in self.all(".words .word")}
        late, gorgeous = marks["late"], marks["gorgeous"]
        self.assertRegex(late.get_attribute("title"), r"^\+0\.\d{3} for NEGATIVE$")
        self.assertRegex(gorgeous.get_attribute("title"), r"^−0\.\d{3} against NEGATIVE$")
        for selector, line, sign in ((".words .for", "solid", "+"), (".words .against", "wavy", "−")):
            self.assertEqual(self.style(selector, "text-decoration-style"), line)
            script = "return getComputedStyle(document.querySelector(arguments[0]), '::after').content"
            self.assertTrue(self.browser.execute_script(script, selector).startswith(f'"{sign}"'))
        self.assertNotEqual(late.value_of_css_property("background-color"), gorgeous.value_of_css_property("background-color"))
        # The same figures for those who don't see the marks.
        self.find("article summary").send_keys(Keys.ENTER)
        rows = self.texts("article details tbody tr")
        self.assertEqual([row.split()[0] for row in rows], re.findall(r"\w+|[,.]", MIXED))
        self.assertRegex(rows[3], r"^gorgeous against −0\.\d{3}$")

    def test_what_people_write_is_text_and_counts_in_characters(self):
        self.open("plain")
        text = "😀 a 𝒻un <img src=x onerror=alert(1)> terrible <b>lamp</b> 😀"
        self.ask(text, "Speaks most")
        self.assertEqual(self.content(".words"), text)
        self.assertIn("terrible", [word.get_property("textContent") for word in self.all(".words .word")])
        self.assertEqual(self.all("article img, article b"), [])
        # As markup it wouldn't get into the page at all.
        script = "try { document.body.innerHTML = '<p>'; return 'taken' } catch (error) { return error.name }"
        self.assertEqual(self.browser.execute_script(script), "TypeError")
        self.complaints = ["This document requires 'TrustedHTML' assignment"]

    def test_a_text_that_is_refused_is_told_in_the_services_words(self):
        self.open("plain")
        self.ask("   ", "String should have at least 1 character")
        self.assertRegex(self.find(".note.bad").text, r"^No answer\. String should have at least 1 character\nE1001, request [0-9a-f-]{36}$")
        self.complaints = ["status of 422"]
        self.assert_accessible()

    def test_a_service_that_has_no_explanations_colours_nothing_and_says_why(self):
        self.open(self.gateway, "/mute/")
        self.ask("I love this product", "The words aren't explained.")
        self.assertEqual(self.find(".words").text, "I love this product")
        self.assertEqual(self.all(".word"), [])
        self.assertIn("answered 404 Not Found, and not as this service does", self.find("article .how").text)
        self.complaints = ["status of 404"]

    def test_models_of_other_kinds(self):
        self.open("several")
        self.ask("good bad", "^(good|bad), ")
        self.assertEqual(sorted(self.texts(".scores .holds th")), ["bad ✓", "good ✓"])
        self.open("number")
        told = self.ask("good", "^good, ")
        self.assertNotIn("%", told + self.find(".scores").text)
        self.assertEqual(self.find(".verdict").text, "good 9")
        self.open(self.gateway, "/wide/")
        self.ask("I love this product", "^POSITIVE")
        self.assertEqual(len([row for row in self.all(".scores tbody tr") if row.is_displayed()]), 8)
        self.find("article button").click()
        self.assertEqual(len([row for row in self.all(".scores tbody tr") if row.is_displayed()]), 40)

    # Many texts

    def test_many_texts_are_a_line_each(self):
        self.open("plain")
        texts = ["I love this product", "", "It broke after two days", "   ", "\u200b", "A fine day"]
        told = self.ask("\n".join(texts), r"^4 texts in .* ms\.$", many=True)
        self.assertTrue(told)
        rows = [row.split("\n") for row in self.texts(".texts tbody tr")]
        self.assertEqual(len(rows), 4)
        self.assertEqual(rows[0][0].split(" POSITIVE")[0], "I love this product")
        self.assertRegex(self.content(".texts tbody tr:nth-child(2)"), r"^It broke after two daysNEGATIVE\d\d\.\d %$")
        self.assertRegex(self.content(".texts tbody tr:nth-child(3)"), r"no answer.+")
        self.assertRegex(self.find(".facts").text, r" ms there and back · \d+ texts a second · 1 without an answer$")
        self.assertEqual(sum(int(row.split()[-1]) for row in self.texts(".scores tbody tr")), 3)
        self.assert_accessible()
        self.ask("\n".join(["again"] * 1001), "1000", many=True)
        self.complaints = ["status of 422"]

    # Keys

    def test_a_key_is_asked_for_and_kept_in_the_page_only(self):
        self.open("plain")
        self.assertFalse(self.find("#key").is_displayed())
        self.open("keyed")
        self.assertTrue(self.find("#key").is_displayed())
        self.ask("I love this product", "the key is missing or wrong")
        self.assertIn("The service asks for an API key. the key is missing or wrong", self.find(".note.bad").text)
        self.assertEqual((self.focused().get_attribute("id"), self.focused().get_attribute("aria-invalid")), ("key", "true"))
        self.assert_accessible()
        self.press("s3cret", Keys.ENTER)
        self.told("^POSITIVE")
        self.assertEqual(self.browser.execute_script("return localStorage.length + sessionStorage.length + document.cookie.length"), 0)
        self.assertIsNone(self.find("#key").get_attribute("aria-invalid"))
        self.fill("#key", "schlüssel")
        self.find("#form button").click()
        self.told("The API key holds a character that no key has.")
        self.complaints = ["status of 401"]

    # Two services

    def name_other(self, address, key=""):
        if not self.find("#other").is_displayed():
            self.find("#compare summary").send_keys(Keys.ENTER)
        self.fill("#other", address)
        self.fill("#other-key", key)

    def test_another_origin_is_compared_where_both_services_allow_it(self):
        self.open("plain")
        address = f"http://{SERVICES['other']}"
        self.hosts.add(SERVICES["other"])
        self.name_other(address)
        self.assertIn(address, self.find("#other-how").text)
        self.assertIn(address, [option.get_attribute("value") for option in self.all("#origins option")])
        self.ask("a good lamp", "the key is missing or wrong")
        cards = self.all("article")
        self.assertEqual(len(cards), 2)
        self.assertIn("asks for an API key", cards[1].text)
        self.assertFalse(self.find("#key").is_displayed())

        self.name_other(address, "0ther")
        told = self.ask("a good lamp", f"^This service: [A-Z]+, .* {address}: good, .* Speaks most for good: good")
        self.assertIn("in ", told)
        self.assertRegex(self.all("h2")[1].text, rf"^{address}\ndefault · sha256:")
        self.assert_accessible()

        texts = ["good", "bad", "I love this product"]
        told = self.ask("\n".join(texts), "3 texts in .*; 3 texts in .*; the two differ on 3 of 3 texts", many=True)
        self.assertEqual(self.texts(".texts thead th"), ["Text", "This service", address])
        self.assertRegex(self.content(".texts tbody tr"), r"^good≠ the two differ[A-Z]+\d.* %good\d.* %$")
        self.assert_accessible()
        self.complaints = ["status of 401"]

    def test_an_origin_that_is_not_allowed_is_told_which_setting_is_missing(self):
        self.open("plain")
        address = f"http://{SERVICES['keyed']}"
        self.hosts.add(SERVICES["keyed"])
        self.name_other(address, "s3cret")
        self.ask("I love this product", f"its MLOPS_ALLOWED_ORIGINS must hold http://{SERVICES['plain']}")
        self.assertEqual(len(self.all(".verdict")), 1)
        self.complaints = ["blocked by CORS policy", "net::ERR_FAILED"]
        self.requests()
        # Of one that the policy wouldn't let through, nothing is asked.
        self.name_other("https://elsewhere.example/")
        self.ask("I love this product", "MLOPS_PLAYGROUND_ORIGINS there must hold https://elsewhere.example")
        self.name_other("http://[")
        self.ask("I love this product", "is no address")
        self.assertEqual(self.requests(), [])

    def test_behind_a_gateway_all_is_relative_and_neighbours_are_compared(self):
        self.open(self.gateway, "/one/")
        self.name_other("/two/")
        told = self.ask("good", "^This service: .*/two/: good, ")
        self.assertNotIn("bad", told)
        self.name_other("../two")
        self.ask("bad", r"\.\./two: bad, ")
        asked = {urlsplit(url).path.rsplit("/", 1)[0] for url in self.requests()}
        self.assertEqual(asked, {"/one", "/one/playground", "/one/api/v1", "/two/api/v1"})
        # Without the slash the page can't find its own files. It says so, as it is.
        self.open(self.gateway, "/one")
        self.assertIn("an address that ends in a slash", self.find("#unstarted").text)
        self.complaints = ["status of 404"]

    # How it looks

    def test_both_schemes_are_accessible_in_every_state(self):
        grounds = set()
        for scheme in ("light", "dark"):
            self.prefer(scheme)
            self.open("plain")
            grounds.add(self.style("body", "background-color"))
            self.assert_accessible()
            self.find("#compare summary").click()
            self.ask(MIXED, "Speaks most")
            self.find("article summary").click()
            self.assert_accessible()
        self.assertEqual(len(grounds), 2)

    def test_narrow_screens_have_nothing_beside_them(self):
        for width in (320, 390):
            self.emulate(width, 700)
            self.open("plain")
            self.assert_fits()
            self.find("#compare summary").click()
            self.assert_fits()
            self.ask(f"{MIXED} {'x' * 80} https://example.com/{'a/' * 20}", "Speaks most")
            self.find("article summary").click()
            self.assert_fits()
            self.assert_accessible()
            self.name_other("/")
            self.ask(f"I love this product\n{'y' * 300}\nIt broke", "3 texts in", many=True)
            self.assert_fits()
            self.ask(" ", "1000|at least 1", many=True)
            self.assert_fits()
        self.complaints = ["status of 422"]

    def test_pictures(self):
        for name, scheme, width, scale in (("light", "light", 920, 1), ("dark", "dark", 920, 1), ("phone", "light", 390, 1)):
            self.prefer(scheme)
            self.emulate(width, 600, scale)
            self.open("plain")
            self.ask(MIXED, "Speaks most")
            self.picture(name)
        self.prefer("light")
        self.emulate(920, 600)
        self.open(self.gateway, "/one/")
        self.name_other("/staging/")
        texts = ["I love this product", "It broke after two days", "The parcel arrived on Tuesday", MIXED, "It is a lamp"]
        self.ask("\n".join(texts), "the two differ on 2 of 5 texts", many=True)
        self.picture("compare")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
