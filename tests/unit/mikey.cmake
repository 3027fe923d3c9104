foreach(area kats dissect derivation derived values damage peers samples parse policy key_data exchange sdp sdp_media
             published)
    mikeyd_unit_test(test_mikey_${area}
                     SOURCES mikey/test_${area}.c mikey/support.c
                     LIBS mikeyd_dissect mikeyd_mikey PkgConfig::JANSSON)
endforeach()
