# Warnings are errors with gcc and clang; hardened in every build. MAGNUM_SANITIZE adds sanitizers.
add_library(magnum_flags INTERFACE)
target_compile_definitions(magnum_flags INTERFACE _GNU_SOURCE MAGNUM_VERSION="${PROJECT_VERSION}")
target_compile_options(magnum_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow
  $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
  -Wformat=2 -Werror -fno-strict-aliasing -fstack-protector-strong -fPIC -g)
target_link_options(magnum_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
if(MAGNUM_SANITIZE)
  target_compile_options(magnum_flags INTERFACE -fsanitize=${MAGNUM_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(magnum_flags INTERFACE -fsanitize=${MAGNUM_SANITIZE})
else()
  target_compile_options(magnum_flags INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE
                         -D_FORTIFY_SOURCE=2>)
endif()
if(MAGNUM_FUZZ)
  target_compile_options(magnum_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
