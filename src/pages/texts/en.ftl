# The words of every page of Headwarden. docs/translating.md says how to add a language.
#
# A message is named by its page. Where one is a whole page, it is the title, and its attributes are what
# stands below. Texts are text: no markup, and a name in braces is put in by the page.

## The frame

nav = Your account
    .devices = Devices
    .add = Add a device
    .sessions = Sessions
    .sign-out = Sign out
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

## Where many pages lead

go-sign-in = Sign in again
go-switch = Sign in as someone else
go-try-again = Try again
go-continue = Continue
go-front = Go to the front page
go-sign-out = Sign out
signed-in-as = Signed in as

## Signing in

attempt-expired = This sign-in took too long
    .sentence = A sign-in has to be finished within ten minutes.
    .hint = Nothing is wrong with your account. Start once more.
attempt-used = This sign-in was already used
    .sentence = Each sign-in works once. This happens after a reload, or with the browser's Back button.
    .hint = If you are signed in already, just continue.
provider-denied = Your identity provider said no
    .sentence = It did not let your account sign in to this service, or the sign-in was cancelled.
    .hint = If you should have access, ask your administrator.
provider-not-finished = The sign-in was not finished
    .sentence = Your identity provider still needs something from you.
    .hint = Start once more and follow its questions to the end.
provider-error = Your identity provider reported an error
    .sentence = It could not handle the sign-in request of this service.
    .hint = Trying again seldom helps: tell your administrator, with the support id below.
sign-in-failed = The sign-in failed
    .sentence = The answer of your identity provider could not be accepted.
    .hint = Try once more. If it fails again, tell your administrator, with the support id below.
provider-away = Sign-in is not available right now
    .sentence = The identity provider cannot be reached.
    .hint = Devices that are connected stay connected. Try again in a minute.
signed-out-meanwhile = You were signed out meanwhile
    .sentence = Your identity provider ended your session while this sign-in was on its way.
    .hint = Sign in once more to go on.
cookies-needed = Cookies are needed to sign in
    .sentence = Your browser came back from the identity provider without the cookie it was given here.
    .hint = Allow cookies for this site, and finish the sign-in in the window in which it began.
not-a-sign-in = Not a sign-in
    .sentence = This address is visited at the end of a sign-in, and only then.
    .hint = Open the page you want, and sign in from there.

## When a page asks for a sign-in that is recent, or stronger

nothing-sent = Nothing has been sent
    .sentence = What you just did asks for a more recent or a stronger sign-in, so it was not passed on.
    .hint = Sign in again. You come back to where you were, and can send it once more.
step-up-refused = A fresh sign-in is needed
    .sentence = It has to be by the person who is signed in here, and made just now.
    .hint = Open the page again (for SSH, run ssh again and open its link), and sign in with the same account when you are asked.
step-up-not-done = A stronger sign-in is needed
    .sentence = Your identity provider did not confirm that you signed in the way this page asks for.
    .hint = Open the page again to try once more. If it stays like this, tell your administrator, with the support id below.

## For people who may not pass

denied = No access
    .heading = You have no access
    .ask-for-group = If you were added to a group just now, sign in again. Otherwise, ask your administrator for access.
    .use-another = If you have another account, sign in with that one. Otherwise, ask your administrator for access.
    .verify = Verify the address at your identity provider, then sign in again. If that is not possible, ask your administrator.
    .ask-for-name = Ask your administrator to change the user name at the identity provider, then sign in again.
    .changed = Has something changed since? { $link }.
    .changed-link = Sign in again
denied-group = Your account is in none of the groups that may use this service.
denied-domain = Your e-mail address belongs to a domain that may not use this service.
denied-user = Your e-mail address is not on the list of people who may use this service.
denied-no-email = Your identity provider sent no e-mail address for your account, and this service needs one.
denied-unverified = Your identity provider has not verified your e-mail address.
denied-page = Your account may use this service, but not this page.

username-missing = Headscale cannot use your user name: the provider sent no user name.
username-short = Headscale cannot use your user name: a user name needs at least two characters.
username-first = Headscale cannot use your user name: a user name must begin with a letter.
username-character = Headscale cannot use your user name: a user name may not contain '{ $character }'.
username-second-at = Headscale cannot use your user name: a user name may contain only one "@".
username-final-at = Headscale cannot use your user name: a user name may not end in "@".

## Questions that only a person may answer

confirm-id = Id in the link
confirm-username = Headscale user
confirm-register = Add this device?
    .heading = Add this device to your network?
    .warning = Only continue if you are adding this device yourself, just now, and it shows the same id.
    .owner = It will belong to
    .do = Add this device
    .sent = If somebody sent you this link, close the page: the device would act on the network in your name.
    .not-you = Not you? { $link }, then open the link from the device again.
    .not-you-link = Sign in as someone else
confirm-ssh = Approve SSH?
    .heading = Approve this SSH connection?
    .warning = Only continue if you just ran { $code } yourself, and your terminal shows the same id.
    .owner = You are signed in as
    .do = Approve the connection
    .sent = If somebody sent you this link, close the page: approving would let them log in from one of your devices.
    .not-you = Not you? { $link }, then open the link from your terminal again.
    .not-you-link = Sign in as someone else
start-again = Start again from your device
    .sentence = This page belongs to no device registration or SSH check that was begun in this browser.
    .hint = Run tailscale up (or ssh) again, and open the link that it shows in this browser.
newest-link = This link is no longer valid
    .sentence = Links from a device work for about 15 minutes, and only until the device shows a new one.
    .hint = Go back to the device and open the newest link. If there is none, run tailscale up (or ssh) again.
not-passed-on = Not passed on
    .sentence = Your sign-in cannot be passed on to the tailnet.
    .hint = Sign out, sign in again, and start again from your device.
subject = Not passed on
    .sentence = Headscale cannot tell your account from others.
    .hint = Tell your administrator, with the support id below.
headscale-too-old = Headscale is too old
    .sentence = The Headscale behind this address is too old for signing in devices here.
    .hint = Tell your administrator: it must be 0.26 or newer.

## Signing out

sign-out = Sign out
    .heading = Sign out?
    .lead = This ends your session in this browser. Your devices stay connected.
    .stay = Stay signed in
    .elsewhere = Signed in elsewhere too? { $link }.
    .elsewhere-link = See your sessions, and end them
signed-out = Signed out
    .heading = You are signed out
    .lead = Your session here has ended.
    .answered = Your identity provider was told, and answered. Some providers stay signed in all the same: on a shared computer, close the browser too.
    .unknown = You may still be signed in at your identity provider. On a shared computer, sign out there too, or close the browser.
not-the-providers = Nobody was signed out
    .sentence = This address is for pages of the identity provider, and for them only.
    .hint = To sign out, use the page of this site that asks whether to.

## A person's sessions

sessions = Where you are signed in
    .stale = Nothing was ended: that page was too old, or was used before. This is the list as it is now.
    .whose = These browsers are signed in here as { $who }.
    .this = This browser
    .since = Signed in on { $when }, from { $address }.
    .used = Last used { $ago }.
    .sign-out = Sign out here
    .end = End this session
    .end-of = End this session: { $browser }, signed in on { $when }
    .end-others = End all other sessions
    .care = What a browser calls itself is not proof. If you do not recognise one, end it, and change your password at your identity provider. Your devices stay connected.
browser-on = { $browser } on { $system }
browser-some = A browser on { $system }
browser-unknown = An unknown browser

## When something does not work

upstream-down = The service is not available
    .bad-answer = The service behind this address gave no proper answer.
    .unreachable = The service behind this address cannot be reached.
    .unhealthy = No server of the service behind this address is healthy at the moment.
    .timeout = The service behind this address took too long.
    .hint = It may be restarting: try again in a moment. If it stays like this, tell your administrator.
store-away = One moment
    .sentence = Sign-ins cannot be looked up at the moment.
    .hint = Try again in a few seconds. Nothing is lost.
internal = Something went wrong
    .sentence = This request was not served.
not-found = Page not found
    .sentence = There is nothing at this address.
misdirected = Wrong address
    .sentence = This service does not answer under the name you used.
    .hint = Open { $site } instead.
too-many-requests = Too many requests
    .sentence = Your network address has sent more requests than this service takes at once.
    .hint = Wait a moment, then try again.
cross-site = Refused
    .sentence = This request came from another site, or did not prove that it came from this one.
    .hint = Open the page again and use its own button.
method = Not like this
    .sentence = This address takes other requests.
too-long = Not like this
    .sentence = This address is too long to be passed on.
unreadable = Not like this
    .sentence = This form cannot be read.
unpassable = Not like this
    .sentence = This request cannot be passed on.

## A person's devices

devices = Your devices
    .whose = They belong to { $who } and act on the network in that name.
    .empty = You have no devices yet.
    .empty-hint = Add the first one: install Tailscale on it, and tell it the address of this network.
    .add = Add a device
    .people = Devices of other people

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
