# gnuplot -e "folder='F'; names='softhsm nss group'" plot.gp: F/NAME.csv becomes F/soak.png.
set terminal pngcairo size 1000,760 font "DejaVu Sans,9"
set output folder.'/soak.png'
set datafile separator ','
set key autotitle columnhead outside right
set multiplot layout 4,words(names)
set xlabel "s"
set xtics 600
set yrange [0:*]
do for [name in names] {
    set title name.': anonymous memory, MiB'
    plot for [c in 'monitor front keyholder'] folder.'/'.name.'.csv' using 'time':(column(c.'_anon_kb')/1024) with lines title c noenhanced
}
do for [name in names] {
    set title name.': descriptors'
    plot for [c in 'monitor front keyholder'] folder.'/'.name.'.csv' using 'time':(column(c.'_fds')) with lines title c noenhanced
}
do for [name in names] {
    set title name.': sessions, session objects'
    plot for [c in 'sessions objects'] folder.'/'.name.'.csv' using 'time':(column(c)) with lines title c noenhanced
}
do for [name in names] {
    set title name.': an exchange, ms'
    plot for [c in 'p50_us p99_us'] folder.'/'.name.'.csv' using 'time':(column(c)/1000) with lines title c noenhanced
}
unset multiplot
