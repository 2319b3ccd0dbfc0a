# The words of every page of Headwarden. docs/translating.md says how to add a language.
#
# A message is named by its page. Where one is a whole page, it is the title, and its attributes are what
# stands below. Texts are text: no markup, and a name in braces is put in by the page.

## The frame

footer-support = Support id
footer-status = HTTP { $status }

## Times

month-1 = January
month-2 = February
month-3 = March
month-4 = April
month-5 = May
month-6 = June
month-7 = July
month-8 = August
month-9 = September
month-10 = October
month-11 = November
month-12 = December

date = { $day } { $month } { $year }, { $time } UTC

ago-moment = just now
ago-minutes =
    { $count ->
        [one] 1 minute ago
       *[other] { $count } minutes ago
    }
ago-hours =
    { $count ->
        [one] 1 hour ago
       *[other] { $count } hours ago
    }
ago-days =
    { $count ->
        [one] 1 day ago
       *[other] { $count } days ago
    }

ahead-moment = in a moment
ahead-minutes =
    { $count ->
        [one] in 1 minute
       *[other] in { $count } minutes
    }
ahead-hours =
    { $count ->
        [one] in 1 hour
       *[other] in { $count } hours
    }
ahead-days =
    { $count ->
        [one] in 1 day
       *[other] in { $count } days
    }

## A person's devices

devices = Your devices
    .whose = They belong to { $who } and act on the network in that name.
    .empty = You have no devices yet.
    .empty-hint = Add the first one: install Tailscale on it, and tell it the address of this network.
    .add = Add a device
    .people = Devices of other people
    .sessions = Where you are signed in
    .sign-out = Sign out

devices-of = Devices of another person
    .whose = They belong to { $who } and act on the network in that name.
    .looks-only = You may look at them, and change nothing.
    .acts-for = Whatever you change here is recorded under your own name.
    .empty = This person has no devices.
    .back = All people

devices-all = All devices, by people
    .lead = Whom Headscale knows, and how many devices each of them has.
    .search = Name or e-mail address
    .find = Search
    .nobody = Nobody is called that.
    .tagged =
        { $count ->
            [one] 1 device belongs to its tags and to nobody in particular.
           *[other] { $count } devices belong to their tags and to nobody in particular.
        }
    .back = Your own devices

person-devices =
    { $count ->
        [0] no devices
        [one] 1 device
       *[other] { $count } devices
    }
person-online =
    { $count ->
        [0] none online
       *[other] { $count } online
    }

pages = Pages
    .previous = Previous
    .next = Next
    .here = Page { $page } of { $pages }

device-online = Online
device-offline = Offline
device-signed-out = Signed out

device-addresses = Addresses
device-last-seen = Last seen
    .never = never
device-expiry = Signed in until
    .never = without end
    .over = Ended
device-added = Added
device-hostname = Calls itself
device-system = System
device-tags = Tags
    .manages = It belongs to its tags: only an administrator can change it.

device-rename = Rename
    .of = Rename { $name }
    .label = New name
    .rule = 2 to 63 lower-case letters, digits and hyphens; no hyphen at either end.
    .do = Save the name
device-sign-out = Sign out
    .of = Sign out { $name }
device-remove = Remove
    .of = Remove { $name }
device-copy = Copy
    .done = Copied

done-renamed = The device has its new name.
done-expired = The device is signed out. Sign in on it again to go on using it.
done-removed = The device is removed.

not-done-stale = Nothing was changed: that page was too old, or was used before. This is how things are now.
not-done-name = Nothing was changed: a name has 2 to 63 lower-case letters, digits and hyphens, and no hyphen at either end.
not-done-taken = Nothing was changed: another device has that name.
not-done-refused = Nothing was changed: Headscale does not take that name.

## Questions about one device

ask-sign-out = Sign out this device?
    .warning = The device leaves the network at once. Only somebody who sits at it can sign it in again.
    .hint = It keeps its name and its addresses. If you reach it over this network only, make sure that somebody is there.
    .do = Sign out the device
    .cancel = Leave it as it is
ask-remove = Remove this device?
    .warning = The device leaves the network at once, and its name and addresses become free.
    .hint = Rules and notes that name its addresses will not fit any more. It can be added anew, as another device.
    .do = Remove the device
    .cancel = Keep it
ask-device = Device
ask-owner = Belongs to
    .nobody = its tags

## Adding a device

add-device = Add a device
    .lead = Install Tailscale on the device, and have it sign in at this address:
    .then = The device then opens a page of this site, or shows a link to one. Sign in there with your own account: the device becomes yours.
    .then-administrator = The device then opens a page that shows a command. Send it to your administrator, who adds the device for you.
    .back = Your devices
    .get = Get Tailscale
    .more = More about it
add-linux = Linux
    .run = Install Tailscale, then run:
add-macos = macOS
    .run = Install Tailscale. In a terminal, run:
    .link = Other ways to set up a Mac
add-windows = Windows
    .run = Install Tailscale. In a terminal, run:
    .link = Other ways to set up Windows
add-phone = Phones and tablets
    .scan = The camera of the phone reads the address from here, so that it can be copied.
    .code = The address of this network as a QR code
add-ios = iPhone and iPad
    .step-1 = Install Tailscale from the App Store, and open it.
    .step-2 = Touch the account symbol at the top right, then “Log in…”.
    .step-3 = Open the menu at the top right, and choose “Use custom coordination server”.
    .step-4 = Enter the address above, and touch “Log in”.
    .link = More about iPhone and iPad
add-android = Android
    .step-1 = Install Tailscale from Google Play or F-Droid, and open it.
    .step-2 = Open the settings at the top right, then “Accounts”.
    .step-3 = Open the menu at the top right, and choose “Use an alternate server”.
    .step-4 = Enter the address above, and follow the sign-in.

## When there are no devices to show

no-devices-key = Devices cannot be shown here
    .sentence = This service has no access to the list of devices.
    .hint = Your devices work as before, and you can add new ones. To change one, ask your administrator.
no-devices-mode = Devices cannot be told apart
    .sentence = In this network, people do not sign in to add a device, so nobody knows here which device is whose.
    .hint = To change one, ask your administrator.
no-devices-subject = Your devices cannot be found
    .sentence = Headscale cannot tell your account from others.
    .hint = Tell your administrator, with the support id below.
no-devices-old = Headscale is too old
    .sentence = The Headscale behind this address is too old for showing devices here.
    .hint = Tell your administrator: it must be 0.26 or newer.
no-devices-away = Your devices cannot be shown right now
    .sentence = Headscale does not answer.
    .hint = Devices that are connected stay connected. Try again in a moment.
    .again = Try again
no-devices-fault = Your devices cannot be shown
    .sentence = Headscale did not say what was asked.
    .hint = If it stays like this, tell your administrator, with the support id below.
