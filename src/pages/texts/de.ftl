# Die Texte aller Seiten auf Deutsch, in der Sie-Form. Die Schlüssel sind die von en.ftl.

## The frame

nav = Ihr Konto
    .devices = Geräte
    .add = Neues Gerät
    .sessions = Sitzungen
    .sign-out = Abmelden
footer-support = Kennung für Rückfragen
footer-status = HTTP { $status }

## Times

month-1 = Januar
month-2 = Februar
month-3 = März
month-4 = April
month-5 = Mai
month-6 = Juni
month-7 = Juli
month-8 = August
month-9 = September
month-10 = Oktober
month-11 = November
month-12 = Dezember

date = { $day }. { $month } { $year }, { $time } Uhr UTC

ago-moment = gerade eben
ago-minutes =
    { $count ->
        [one] vor 1 Minute
       *[other] vor { $count } Minuten
    }
ago-hours =
    { $count ->
        [one] vor 1 Stunde
       *[other] vor { $count } Stunden
    }
ago-days =
    { $count ->
        [one] vor 1 Tag
       *[other] vor { $count } Tagen
    }

ahead-moment = in einem Augenblick
ahead-minutes =
    { $count ->
        [one] in 1 Minute
       *[other] in { $count } Minuten
    }
ahead-hours =
    { $count ->
        [one] in 1 Stunde
       *[other] in { $count } Stunden
    }
ahead-days =
    { $count ->
        [one] in 1 Tag
       *[other] in { $count } Tagen
    }

## Where many pages lead

go-sign-in = Erneut anmelden
go-switch = Mit anderem Konto anmelden
go-try-again = Noch einmal versuchen
go-continue = Weiter
go-front = Zur Startseite
go-sign-out = Abmelden
signed-in-as = Angemeldet als

## Signing in

attempt-expired = Diese Anmeldung hat zu lange gedauert
    .sentence = Eine Anmeldung muss innerhalb von zehn Minuten abgeschlossen sein.
    .hint = Mit Ihrem Konto ist alles in Ordnung. Beginnen Sie einfach noch einmal.
attempt-used = Diese Anmeldung wurde schon verwendet
    .sentence = Jede Anmeldung gilt nur einmal. Diese Seite erscheint nach dem Neuladen oder nach „Zurück“ im Browser.
    .hint = Wenn Sie schon angemeldet sind, machen Sie einfach weiter.
provider-denied = Ihr Identitätsanbieter hat abgelehnt
    .sentence = Er lässt Ihr Konto bei diesem Dienst nicht zu, oder die Anmeldung wurde abgebrochen.
    .hint = Wenn Ihnen Zugriff zusteht, wenden Sie sich an Ihre Administration.
provider-not-finished = Die Anmeldung wurde nicht abgeschlossen
    .sentence = Ihr Identitätsanbieter braucht noch etwas von Ihnen.
    .hint = Beginnen Sie noch einmal, und beantworten Sie alle seine Fragen.
provider-error = Ihr Identitätsanbieter meldet einen Fehler
    .sentence = Er konnte mit der Anmeldeanfrage dieses Dienstes nichts anfangen.
    .hint = Ein neuer Versuch hilft selten: Wenden Sie sich an Ihre Administration, mit der Kennung unten.
sign-in-failed = Die Anmeldung ist fehlgeschlagen
    .sentence = Die Antwort Ihres Identitätsanbieters konnte nicht angenommen werden.
    .hint = Versuchen Sie es noch einmal. Wenn es wieder fehlschlägt, wenden Sie sich an Ihre Administration, mit der Kennung unten.
provider-away = Die Anmeldung ist gerade nicht möglich
    .sentence = Der Identitätsanbieter ist nicht erreichbar.
    .hint = Verbundene Geräte bleiben verbunden. Versuchen Sie es in einer Minute noch einmal.
signed-out-meanwhile = Sie wurden inzwischen abgemeldet
    .sentence = Ihr Identitätsanbieter hat Ihre Sitzung beendet, während diese Anmeldung noch lief.
    .hint = Melden Sie sich noch einmal an, um weiterzumachen.
cookies-needed = Zum Anmelden werden Cookies gebraucht
    .sentence = Ihr Browser kam ohne das Cookie vom Identitätsanbieter zurück, das er hier bekommen hat.
    .hint = Erlauben Sie Cookies für diese Website, und schließen Sie die Anmeldung in dem Fenster ab, in dem sie begonnen hat.
not-a-sign-in = Keine Anmeldung
    .sentence = Diese Adresse wird nur am Ende einer Anmeldung aufgerufen.
    .hint = Öffnen Sie die gewünschte Seite, und melden Sie sich von dort aus an.

## When a page asks for a sign-in that is recent, or stronger

nothing-sent = Es wurde nichts gesendet
    .sentence = Was Sie gerade getan haben, verlangt eine neuere oder stärkere Anmeldung. Es wurde daher nicht weitergegeben.
    .hint = Melden Sie sich erneut an. Sie kommen hierher zurück und können es noch einmal senden.
step-up-refused = Eine neue Anmeldung ist nötig
    .sentence = Sie muss von der Person stammen, die hier angemeldet ist, und gerade eben erfolgt sein.
    .hint = Öffnen Sie die Seite noch einmal (bei SSH: Führen Sie ssh noch einmal aus, und öffnen Sie den Link), und melden Sie sich mit demselben Konto an, wenn danach gefragt wird.
step-up-not-done = Eine stärkere Anmeldung ist nötig
    .sentence = Ihr Identitätsanbieter hat nicht bestätigt, dass Sie sich so angemeldet haben, wie diese Seite es verlangt.
    .hint = Öffnen Sie die Seite noch einmal, um es erneut zu versuchen. Wenn es so bleibt, wenden Sie sich an Ihre Administration, mit der Kennung unten.

## For people who may not pass

denied = Kein Zugriff
    .heading = Sie haben keinen Zugriff
    .ask-for-group = Wenn Sie gerade erst in eine Gruppe aufgenommen wurden, melden Sie sich erneut an. Andernfalls bitten Sie Ihre Administration um Zugriff.
    .use-another = Wenn Sie ein anderes Konto haben, melden Sie sich mit diesem an. Andernfalls bitten Sie Ihre Administration um Zugriff.
    .verify = Bestätigen Sie die Adresse bei Ihrem Identitätsanbieter, und melden Sie sich dann erneut an. Wenn das nicht geht, wenden Sie sich an Ihre Administration.
    .ask-for-name = Bitten Sie Ihre Administration, den Benutzernamen beim Identitätsanbieter zu ändern, und melden Sie sich dann erneut an.
    .changed = Hat sich inzwischen etwas geändert? { $link }.
    .changed-link = Melden Sie sich erneut an
denied-group = Ihr Konto ist in keiner der Gruppen, die diesen Dienst verwenden dürfen.
denied-domain = Ihre E-Mail-Adresse gehört zu einer Domain, die diesen Dienst nicht verwenden darf.
denied-user = Ihre E-Mail-Adresse steht nicht auf der Liste der Personen, die diesen Dienst verwenden dürfen.
denied-no-email = Ihr Identitätsanbieter hat zu Ihrem Konto keine E-Mail-Adresse geschickt, und dieser Dienst braucht eine.
denied-unverified = Ihr Identitätsanbieter hat Ihre E-Mail-Adresse nicht bestätigt.
denied-page = Ihr Konto darf diesen Dienst verwenden, aber nicht diese Seite.

username-missing = Headscale kann Ihren Benutzernamen nicht verwenden: Der Identitätsanbieter hat keinen geschickt.
username-short = Headscale kann Ihren Benutzernamen nicht verwenden: Ein Benutzername braucht mindestens zwei Zeichen.
username-first = Headscale kann Ihren Benutzernamen nicht verwenden: Ein Benutzername muss mit einem Buchstaben beginnen.
username-character = Headscale kann Ihren Benutzernamen nicht verwenden: Ein Benutzername darf das Zeichen „{ $character }“ nicht enthalten.
username-second-at = Headscale kann Ihren Benutzernamen nicht verwenden: Ein Benutzername darf nur ein „@“ enthalten.
username-final-at = Headscale kann Ihren Benutzernamen nicht verwenden: Ein Benutzername darf nicht mit „@“ enden.

## Questions that only a person may answer

confirm-id = Kennung im Link
confirm-username = Name bei Headscale
confirm-register = Gerät hinzufügen?
    .heading = Dieses Gerät Ihrem Netz hinzufügen?
    .warning = Fahren Sie nur fort, wenn Sie dieses Gerät gerade selbst hinzufügen und es dieselbe Kennung zeigt.
    .owner = Es gehört dann
    .do = Gerät hinzufügen
    .sent = Wenn Ihnen jemand diesen Link geschickt hat, schließen Sie die Seite: Das Gerät würde im Netz unter Ihrem Namen handeln.
    .not-you = Das sind nicht Sie? { $link }, und öffnen Sie dann den Link vom Gerät noch einmal.
    .not-you-link = Melden Sie sich mit einem anderen Konto an
confirm-ssh = SSH zulassen?
    .heading = Diese SSH-Verbindung zulassen?
    .warning = Fahren Sie nur fort, wenn Sie gerade selbst { $code } ausgeführt haben und Ihr Terminal dieselbe Kennung zeigt.
    .owner = Sie sind angemeldet als
    .do = Verbindung zulassen
    .sent = Wenn Ihnen jemand diesen Link geschickt hat, schließen Sie die Seite: Sonst könnte sich diese Person von einem Ihrer Geräte aus anmelden.
    .not-you = Das sind nicht Sie? { $link }, und öffnen Sie dann den Link aus Ihrem Terminal noch einmal.
    .not-you-link = Melden Sie sich mit einem anderen Konto an
start-again = Beginnen Sie noch einmal am Gerät
    .sentence = Diese Seite gehört zu keiner Geräteanmeldung und keiner SSH-Prüfung, die in diesem Browser begonnen hat.
    .hint = Führen Sie tailscale up (oder ssh) noch einmal aus, und öffnen Sie den gezeigten Link in diesem Browser.
newest-link = Dieser Link gilt nicht mehr
    .sentence = Links von einem Gerät gelten etwa 15 Minuten, und nur bis das Gerät einen neuen zeigt.
    .hint = Öffnen Sie am Gerät den neuesten Link. Wenn es keinen zeigt, führen Sie tailscale up (oder ssh) noch einmal aus.
not-passed-on = Nicht weitergegeben
    .sentence = Ihre Anmeldung kann nicht an das Tailnet weitergegeben werden.
    .hint = Melden Sie sich ab und wieder an, und beginnen Sie dann noch einmal am Gerät.
subject = Nicht weitergegeben
    .sentence = Headscale kann Ihr Konto nicht von anderen unterscheiden.
    .hint = Wenden Sie sich an Ihre Administration, mit der Kennung unten.
headscale-too-old = Headscale ist zu alt
    .sentence = Das Headscale hinter dieser Adresse ist zu alt, um hier Geräte anzumelden.
    .hint = Sagen Sie Ihrer Administration Bescheid: Es muss 0.26 oder neuer sein.

## Signing out

sign-out = Abmelden
    .heading = Abmelden?
    .lead = Damit endet Ihre Sitzung in diesem Browser. Ihre Geräte bleiben verbunden.
    .stay = Angemeldet bleiben
    .elsewhere = Auch anderswo angemeldet? { $link }.
    .elsewhere-link = Sehen Sie Ihre Sitzungen an, und beenden Sie sie
signed-out = Abgemeldet
    .heading = Sie sind abgemeldet
    .lead = Ihre Sitzung hier ist beendet.
    .answered = Ihr Identitätsanbieter wurde benachrichtigt und hat geantwortet. Bei manchen bleibt man trotzdem angemeldet: Schließen Sie auf einem gemeinsam genutzten Computer auch den Browser.
    .unknown = Bei Ihrem Identitätsanbieter sind Sie vielleicht noch angemeldet. Melden Sie sich auf einem gemeinsam genutzten Computer auch dort ab, oder schließen Sie den Browser.
not-the-providers = Niemand wurde abgemeldet
    .sentence = Diese Adresse ist nur für Seiten des Identitätsanbieters bestimmt.
    .hint = Um sich abzumelden, verwenden Sie die Seite dieser Website, die danach fragt.

## A person's sessions

sessions = Wo Sie angemeldet sind
    .stale = Nichts wurde beendet: Die Seite war zu alt oder wurde schon einmal verwendet. So ist der Stand jetzt.
    .whose = Diese Browser sind hier angemeldet als { $who }.
    .this = Dieser Browser
    .since = Angemeldet am { $when }, von { $address }.
    .used = Zuletzt verwendet: { $ago }.
    .sign-out = Hier abmelden
    .end = Diese Sitzung beenden
    .end-of = Diese Sitzung beenden: { $browser }, angemeldet am { $when }
    .end-others = Alle anderen Sitzungen beenden
    .care = Was ein Browser über sich selbst sagt, ist kein Beweis. Wenn Sie einen nicht kennen, beenden Sie seine Sitzung, und ändern Sie Ihr Passwort beim Identitätsanbieter. Ihre Geräte bleiben verbunden.
browser-on = { $browser } auf { $system }
browser-some = Ein Browser auf { $system }
browser-unknown = Ein unbekannter Browser

## When something does not work

upstream-down = Der Dienst ist nicht verfügbar
    .bad-answer = Der Dienst hinter dieser Adresse hat nicht richtig geantwortet.
    .unreachable = Der Dienst hinter dieser Adresse ist nicht erreichbar.
    .unhealthy = Kein Server des Dienstes hinter dieser Adresse ist gerade bereit.
    .timeout = Der Dienst hinter dieser Adresse hat zu lange gebraucht.
    .hint = Vielleicht startet er gerade neu: Versuchen Sie es gleich noch einmal. Wenn es so bleibt, wenden Sie sich an Ihre Administration.
store-away = Einen Augenblick
    .sentence = Anmeldungen können gerade nicht nachgeschlagen werden.
    .hint = Versuchen Sie es in ein paar Sekunden noch einmal. Es geht nichts verloren.
internal = Etwas ist schiefgegangen
    .sentence = Diese Anfrage wurde nicht bearbeitet.
not-found = Seite nicht gefunden
    .sentence = Unter dieser Adresse gibt es nichts.
misdirected = Falsche Adresse
    .sentence = Unter dem Namen, den Sie verwendet haben, antwortet dieser Dienst nicht.
    .hint = Öffnen Sie stattdessen { $site }.
too-many-requests = Zu viele Anfragen
    .sentence = Von Ihrer Netzwerkadresse kamen mehr Anfragen, als dieser Dienst auf einmal annimmt.
    .hint = Warten Sie einen Augenblick, und versuchen Sie es dann noch einmal.
cross-site = Abgelehnt
    .sentence = Diese Anfrage kam von einer anderen Website oder hat nicht bewiesen, dass sie von dieser kommt.
    .hint = Öffnen Sie die Seite noch einmal, und verwenden Sie ihre eigene Schaltfläche.
method = So geht es nicht
    .sentence = Diese Adresse nimmt andere Anfragen an.
too-long = So geht es nicht
    .sentence = Diese Adresse ist zu lang, um weitergegeben zu werden.
unreadable = So geht es nicht
    .sentence = Dieses Formular kann nicht gelesen werden.
unpassable = So geht es nicht
    .sentence = Diese Anfrage kann nicht weitergegeben werden.

## A person's devices

devices = Ihre Geräte
    .whose = Sie gehören { $who } und handeln im Netz unter diesem Namen.
    .empty = Sie haben noch keine Geräte.
    .empty-hint = Fügen Sie das erste hinzu: Installieren Sie darauf Tailscale, und geben Sie die Adresse dieses Netzes an.
    .add = Gerät hinzufügen
    .people = Geräte anderer Personen

devices-of = Geräte einer anderen Person
    .whose = Sie gehören { $who } und handeln im Netz unter diesem Namen.
    .looks-only = Sie können sie ansehen, aber nichts ändern.
    .acts-for = Was Sie hier ändern, wird unter Ihrem eigenen Namen festgehalten.
    .empty = Diese Person hat keine Geräte.
    .back = Alle Personen

devices-all = Alle Geräte nach Personen
    .lead = Wen Headscale kennt, und wie viele Geräte jede Person hat.
    .search = Name oder E-Mail-Adresse
    .find = Suchen
    .nobody = Niemand heißt so.
    .tagged =
        { $count ->
            [one] 1 Gerät gehört zu seinen Tags und keiner bestimmten Person.
           *[other] { $count } Geräte gehören zu ihren Tags und keiner bestimmten Person.
        }
    .back = Ihre eigenen Geräte

person-devices =
    { $count ->
        [0] keine Geräte
        [one] 1 Gerät
       *[other] { $count } Geräte
    }
person-online =
    { $count ->
        [0] keines online
       *[other] { $count } online
    }

pages = Seiten
    .previous = Zurück
    .next = Weiter
    .here = Seite { $page } von { $pages }

device-online = Online
device-offline = Offline
device-signed-out = Abgemeldet

device-addresses = Adressen
device-last-seen = Zuletzt gesehen
device-expiry = Angemeldet bis
    .never = unbegrenzt
    .over = Abgelaufen
device-added = Hinzugefügt
device-hostname = Nennt sich selbst
device-system = System
device-tags = Tags
    .manages = Es gehört zu seinen Tags: Nur die Administration kann es ändern.

device-rename = Umbenennen
    .of = { $name } umbenennen
    .label = Neuer Name
    .rule = 2 bis 63 Kleinbuchstaben, Ziffern und Bindestriche; am Anfang und am Ende kein Bindestrich.
    .do = Namen speichern
device-sign-out = Abmelden
    .of = { $name } abmelden
device-remove = Entfernen
    .of = { $name } entfernen
device-copy = Kopieren
    .done = Kopiert

done-renamed = Das Gerät hat seinen neuen Namen.
done-expired = Das Gerät ist abgemeldet. Melden Sie sich auf dem Gerät neu an, um es weiter zu verwenden.
done-removed = Das Gerät ist entfernt.

not-done-stale = Nichts wurde geändert: Die Seite war zu alt oder wurde schon einmal verwendet. So ist der Stand jetzt.
not-done-name = Nichts wurde geändert: Ein Name hat 2 bis 63 Kleinbuchstaben, Ziffern und Bindestriche, und am Anfang und am Ende keinen Bindestrich.
not-done-taken = Nichts wurde geändert: Ein anderes Gerät heißt schon so.
not-done-refused = Nichts wurde geändert: Headscale nimmt diesen Namen nicht an.

## Questions about one device

ask-sign-out = Dieses Gerät abmelden?
    .warning = Das Gerät verlässt das Netz sofort. Nur wer davorsitzt, kann es wieder anmelden.
    .hint = Es behält seinen Namen und seine Adressen. Wenn Sie es nur über dieses Netz erreichen, stellen Sie sicher, dass jemand dort ist.
    .do = Gerät abmelden
    .cancel = So lassen
ask-remove = Dieses Gerät entfernen?
    .warning = Das Gerät verlässt das Netz sofort, und sein Name und seine Adressen werden frei.
    .hint = Regeln und Notizen mit seinen Adressen stimmen dann nicht mehr. Es kann neu hinzugefügt werden, als ein anderes Gerät.
    .do = Gerät entfernen
    .cancel = Behalten
ask-device = Gerät
ask-owner = Gehört
    .nobody = zu seinen Tags

## Adding a device

add-device = Gerät hinzufügen
    .lead = Installieren Sie Tailscale auf dem Gerät, und melden Sie es an dieser Adresse an:
    .then = Das Gerät öffnet dann eine Seite dieser Website oder zeigt einen Link darauf. Melden Sie sich dort mit Ihrem eigenen Konto an: Damit gehört das Gerät Ihnen.
    .then-administrator = Das Gerät öffnet dann eine Seite, die einen Befehl zeigt. Schicken Sie ihn an Ihre Administration, die das Gerät für Sie hinzufügt.
    .back = Ihre Geräte
    .get = Tailscale herunterladen
add-linux = Linux
    .run = Installieren Sie Tailscale, und führen Sie dann aus:
add-macos = macOS
    .run = Installieren Sie Tailscale. Führen Sie in einem Terminal aus:
    .link = Andere Wege, einen Mac einzurichten
add-windows = Windows
    .run = Installieren Sie Tailscale. Führen Sie in einem Terminal aus:
    .link = Andere Wege, Windows einzurichten
add-phone = Telefone und Tablets
    .scan = Die Kamera des Telefons liest die Adresse hier ab, sodass sie kopiert werden kann.
    .code = Die Adresse dieses Netzes als QR-Code
add-ios = iPhone und iPad
    .step-1 = Installieren Sie Tailscale aus dem App Store, und öffnen Sie es.
    .step-2 = Tippen Sie oben rechts auf das Kontosymbol, dann auf „Log in…“.
    .step-3 = Öffnen Sie das Menü oben rechts, und wählen Sie „Use custom coordination server“.
    .step-4 = Geben Sie die Adresse von oben ein, und tippen Sie auf „Log in“.
    .link = Mehr zu iPhone und iPad
add-android = Android
    .step-1 = Installieren Sie Tailscale aus Google Play oder F-Droid, und öffnen Sie es.
    .step-2 = Öffnen Sie oben rechts die Einstellungen, dann „Accounts“.
    .step-3 = Öffnen Sie das Menü oben rechts, und wählen Sie „Use an alternate server“.
    .step-4 = Geben Sie die Adresse von oben ein, und folgen Sie der Anmeldung.

## When there are no devices to show

no-devices-key = Geräte können hier nicht gezeigt werden
    .sentence = Dieser Dienst hat keinen Zugriff auf die Liste der Geräte.
    .hint = Ihre Geräte funktionieren wie bisher, und Sie können neue hinzufügen. Um eines zu ändern, wenden Sie sich an Ihre Administration.
no-devices-mode = Geräte können nicht unterschieden werden
    .sentence = In diesem Netz meldet sich niemand an, um ein Gerät hinzuzufügen. Daher ist hier nicht bekannt, wem welches Gerät gehört.
    .hint = Um eines zu ändern, wenden Sie sich an Ihre Administration.
no-devices-subject = Ihre Geräte können nicht gefunden werden
    .sentence = Headscale kann Ihr Konto nicht von anderen unterscheiden.
    .hint = Wenden Sie sich an Ihre Administration, mit der Kennung unten.
no-devices-old = Headscale ist zu alt
    .sentence = Das Headscale hinter dieser Adresse ist zu alt, um hier Geräte zu zeigen.
    .hint = Sagen Sie Ihrer Administration Bescheid: Es muss 0.26 oder neuer sein.
no-devices-away = Ihre Geräte können gerade nicht gezeigt werden
    .sentence = Headscale antwortet nicht.
    .hint = Verbundene Geräte bleiben verbunden. Versuchen Sie es gleich noch einmal.
    .again = Noch einmal versuchen
no-devices-fault = Ihre Geräte können nicht gezeigt werden
    .sentence = Headscale hat nicht gesagt, was gefragt war.
    .hint = Wenn es so bleibt, wenden Sie sich an Ihre Administration, mit der Kennung unten.
