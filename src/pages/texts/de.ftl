# Die Texte aller Seiten auf Deutsch, in der Sie-Form. Die Schlüssel sind die von en.ftl.

## The frame

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

## A person's devices

devices = Ihre Geräte
    .whose = Sie gehören { $who } und handeln im Netz unter diesem Namen.
    .empty = Sie haben noch keine Geräte.
    .empty-hint = Fügen Sie das erste hinzu: Installieren Sie darauf Tailscale, und geben Sie die Adresse dieses Netzes an.
    .add = Gerät hinzufügen
    .people = Geräte anderer Personen
    .sessions = Wo Sie angemeldet sind
    .sign-out = Abmelden

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
    .never = nie
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
    .more = Mehr dazu
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
