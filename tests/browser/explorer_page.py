"""The explorer as a person sees and handles it, driven through selenium."""

from itertools import pairwise

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait


class Page:
    """The explorer in the browser, by what a person sees and does."""

    def __init__(self, driver, explorer):
        self.driver, self.explorer = driver, explorer
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False},
        )
        driver.get_log("browser")
        driver.get(explorer.url)

    def wait(self, condition, message=""):
        waiting = WebDriverWait(self.driver, 20, 0.05, ignored_exceptions=[StaleElementReferenceException])
        return waiting.until(lambda _: condition(), message)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        return self.wait(lambda: next(iter(self.all(css)), None), f"no {css}")

    def texts(self, css):
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())", css
        )

    def click(self, css, number=0):
        def clicked():
            self.all(css)[number].click()
            return True

        self.one(css)
        self.wait(clicked, f"{css} was drawn anew each time it was to be clicked")

    def choose(self, control, text):
        select = Select(self.one(f"#{control}"))
        self.wait(lambda: text in [option.text for option in select.options], f"{control} has no {text}")
        select.select_by_visible_text(text)

    def choose_picture(self, key, text):
        """Choose colour map, scaling or sampling in the menu behind the colour bar."""
        self.click("#samples--pictures summary")
        self.choose(f"samples--{key}", text)
        self.click("#samples--pictures summary")

    def map(self, panel="embedding"):
        """What a map shows, as assets/map.js tells it, or None while it is still drawing."""
        return self.driver.execute_script(
            "const map = document.getElementById(arguments[0])?.backlightMap, state = map && map.state();"
            "return state && state.settled ? state : null;",
            f"{panel}--map",
        )

    def points(self):
        """Dataset index -> (x, y) on the screen, of every point the map has drawn."""
        found = self.driver.execute_script(
            "const map = document.querySelector('.map .scatter')?.backlightMap; return map && map.places();"
        )
        return {index: (x, y) for index, x, y in found or []}

    def drawn(self):
        """Wait until the map shows points, and return them."""
        return self.wait(lambda: self.points() or None, "no points drawn")

    def groups(self, panel="embedding"):
        """Names of the groups a map is coloured by, in order, with the number of selected samples."""
        shown = self.map(panel)
        return {group["name"]: group["selected"] for group in shown["groups"]} if shown else {}

    def axis_titles(self):
        shown = self.map()
        return shown["axes"] if shown else ["", ""]

    def drag(self, x0, y0, x1, y1):
        self.lasso([(x0, y0), (x1, y1)])

    def lasso(self, corners, steps=5):
        chain = ActionChains(self.driver, duration=20)
        pointer = chain.w3c_actions.pointer_action
        pointer.move_to_location(*map(int, corners[0]))
        pointer.pointer_down()
        for (ax, ay), (bx, by) in pairwise(corners):
            for k in range(1, steps + 1):
                pointer.move_to_location(int(ax + (bx - ax) * k / steps), int(ay + (by - ay) * k / steps))
        pointer.pointer_up()
        chain.perform()

    def double_click(self, x, y):
        chain = ActionChains(self.driver, duration=20)
        chain.w3c_actions.pointer_action.move_to_location(int(x), int(y))
        chain.w3c_actions.pointer_action.double_click()
        chain.perform()

    def hover(self, x, y):
        chain = ActionChains(self.driver, duration=50)
        chain.w3c_actions.pointer_action.move_to_location(int(x) + 40, int(y) + 40)
        chain.w3c_actions.pointer_action.move_to_location(int(x), int(y))
        chain.perform()

    def sources(self, css=".thumbnail img"):
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((image) => image.getAttribute('src'))",
            css,
        )

    def pixels(self, css):
        """Return the average colour of a picture that has loaded."""
        return self.driver.execute_async_script(
            """const [css, done] = arguments, image = document.querySelector(css);
            image.decode().then(() => {
              const canvas = document.createElement('canvas');
              [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
              const pen = canvas.getContext('2d'); pen.drawImage(image, 0, 0);
              const data = pen.getImageData(0, 0, canvas.width, canvas.height).data, sum = [0, 0, 0];
              data.forEach((value, k) => { if (k % 4 < 3) sum[k % 4] += value; });
              done(sum.map((value) => value * 4 / data.length));
            });""",
            css,
        )

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
